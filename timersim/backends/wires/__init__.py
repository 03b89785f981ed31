"""The wires: what connects real workers to the server, and what is known of their calls."""
