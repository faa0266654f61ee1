"""The wire of ECS: bytes to requests, outcomes to bytes, by the service's model. Pure."""
