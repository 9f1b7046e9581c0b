"""The `capsule` command: an edge, built on the public `capsule` alone but for the guest's cache."""
