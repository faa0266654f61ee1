"""All knowledge of the AWS wire, sans-I/O: hosts, classification, canonical form, error bodies."""
