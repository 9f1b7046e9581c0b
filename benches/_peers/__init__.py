"""The peers: what is installed for each, into an environment of its own, and the drivers that run in there."""
