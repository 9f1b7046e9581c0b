"""A message's way: admitted, run in a sandbox, retried, answered with exactly one outcome."""
