"""The ECS control plane: operations of the API, the state they work on, and what brings tasks to run."""
