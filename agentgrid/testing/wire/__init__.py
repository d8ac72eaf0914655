"""The wire protocols of model providers: read requests into a `Conversation`, and write turns as responses and streams."""
