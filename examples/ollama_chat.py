"""Chat with a local model, no backend: python ollama_chat.py [MODEL [BASE_URL]]

Ollama by default; vLLM and LM Studio serve the same API under another URL.
"""

import sys
from datetime import datetime

from usechat import ChatSession, UseChatError

model = sys.argv[1] if len(sys.argv) > 1 else "llama3.2"
base_url = sys.argv[2] if len(sys.argv) > 2 else "http://localhost:11434/v1"


def weather(city: str) -> str:
    """What the weather is like in a city, now."""
    return f"It is {datetime.now():%H:%M} in {city}, and it rains."


def main() -> None:
    system = "You are brief. Use a tool only where it helps."
    with ChatSession.openai(model, base_url=base_url, system=system, tools=[weather]) as chat:
        print(f"{model}: ask something, an empty line ends it.")
        while question := input("> ").strip():
            turn = chat.send_message(question)
            try:
                for piece in turn:
                    print(piece, end="", flush=True)
                print(f"\n({turn.usage.total_tokens} tokens)" if turn.usage else "")
            except UseChatError as error:
                print(f"\n{error}")


if __name__ == "__main__":
    try:
        main()
    except (EOFError, KeyboardInterrupt):
        print()
