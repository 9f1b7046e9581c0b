"""What the host does for a guest on request: one file for each capability."""
