"""What a chat is: messages, their parts, and the chunks that make them."""
