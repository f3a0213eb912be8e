"""Who drives the engine, and where callbacks run."""
