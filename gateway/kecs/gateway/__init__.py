"""One endpoint for all of AWS: ECS to the control plane, everything else to the emulator."""
