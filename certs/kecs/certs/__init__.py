"""Root, issuer, intermediates and leaves: issuing (pure) and keeping (edge)."""
