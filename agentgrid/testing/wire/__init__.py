"""The protocols of model providers on the wire: requests read into a `Conversation`, turns written as responses and as streams."""
