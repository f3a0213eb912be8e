"""Chat with fastapi_server.py: python fastapi_client.py [URL]. Needs: pip install usechat"""

import sys

from usechat import ChatSession

url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/api/chat"


def ask(question, **options):
    print(f"> {question}")
    for piece in chat.send_message(question, **options):
        print(piece, end="", flush=True)
    print()


with ChatSession(url) as chat:
    ask("Hello")
    ask("What is an iterator?")
    ask("And a generator?", message_id=chat.messages[2].id)  # edits the second question
    print(f"\n{len(chat.messages)} messages, {chat.status}:")
    for message in chat.messages:
        print(f"{message.role}: {message.text}")

# It prints, the answers word by word:
#
# > Hello
# You said "Hello". That was question 1.
# > What is an iterator?
# You said "What is an iterator?". That was question 2.
# > And a generator?
# You said "And a generator?". That was question 2.
#
# 4 messages, ready:
# user: Hello
# assistant: You said "Hello". That was question 1.
# user: And a generator?
# assistant: You said "And a generator?". That was question 2.
