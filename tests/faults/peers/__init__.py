"""Other gateways on the same wall."""
