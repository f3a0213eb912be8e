"""usechat: the client half of a chat."""
