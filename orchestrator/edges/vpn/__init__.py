"""The boundary: the overlay's interface and identities, and proof of what we listen on."""
