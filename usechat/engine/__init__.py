"""The chat as a state machine: actions and chunks go in, requests and events come out; no I/O."""
