"""From source to what a sandbox can load: programs read and sliced, the guest built, compiled and cached."""
