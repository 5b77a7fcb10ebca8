"""The bare limits: what the same rows and the same bytes cost without a service around them."""
