"""Pod in, patch out: which pods are injected, and how."""
