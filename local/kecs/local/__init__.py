"""The machine-local pod of 'kecs run': namespaces, DNS, processes, terminals."""
