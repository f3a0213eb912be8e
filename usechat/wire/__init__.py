"""Bytes to chunks and back, one protocol a module; pure."""
