"""Ask a chat endpoint, and print the answer as it comes: python script_chat.py [URL]"""

import sys

from usechat import ChatSession, UseChatError

url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/api/chat"

with ChatSession(url) as chat:
    try:
        for piece in chat.send_message("Hello! What is an iterator?"):
            print(piece, end="", flush=True)
        print()
        message = chat.send_message("And in one sentence?").result()
        print(f"\n{message.role} said: {message.text}")
        print(f"{len(chat.messages)} messages, status {chat.status}")
    except UseChatError as error:
        what = f"{type(error).__name__}: {error}"
        sys.exit(f"\nIt went wrong: {what}\nIs there a server at {url}? Try: usechat serve")
