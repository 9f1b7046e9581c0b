"""What happened, in SQLite: written once, while it happens, and read by `capsule.journal`."""
