"""Making it happen: the durable log, the gate, and one ordering lane per camera."""
