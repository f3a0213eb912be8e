"""Opens a reply and reads it."""
