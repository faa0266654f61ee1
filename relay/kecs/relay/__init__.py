"""The data path: peek, TLS termination, HTTP/1.1, pass-through, upstream pool. Knows bytes, asks a Decider."""
