"""A chat window: python tk_chat.py [URL]. `usechat serve` is an endpoint to try it with."""

import sys
from tkinter import Tk, ttk
from tkinter.scrolledtext import ScrolledText

from usechat import ChatSession, ErrorChanged, MessageAdded, TextDelta, hosts
from usechat import last_assistant_message_is_complete_with_approval_responses as is_answered

root = Tk(className=" usechat")
url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/api/chat"
chat = ChatSession(url, dispatch=hosts.tk.dispatcher(root), send_automatically_when=is_answered)
root.configure(padx=12, pady=12, bg="#f1f5f9")
root.grid_rowconfigure(0, weight=1)
root.grid_columnconfigure(0, weight=1)
ttk.Style().theme_use("clam")
ttk.Style().configure(".", background="#f1f5f9", font="TkTextFont")
log = ScrolledText(root, height=14, width=66, font="TkTextFont", wrap="word", state="disabled")
log.configure(bd=0, highlightthickness=0, padx=16, spacing1=6, spacing2=3, spacing3=6)
log.vbar.configure(bd=0, elementborderwidth=0, width=8, bg="#cbd5e1", troughcolor="white")
log.tag_configure("user", background="#dbeafe", justify="right")
log.tag_configure("error", foreground="#b91c1c")
entry, send, status = ttk.Entry(root, font="TkTextFont"), ttk.Button(root), ttk.Label(root)
retry = ttk.Button(root, text="Retry", command=chat.regenerate)
allow = ttk.Button(root, text="Allow", command=lambda: answer(True))
deny = ttk.Button(root, text="Deny", command=lambda: answer(False))
log.grid(columnspan=3, sticky="nsew")
entry.grid(columnspan=2, sticky="ew", pady=12, ipady=4)
send.grid(row=1, column=2, padx=(8, 0))
status.grid(row=2, sticky="w", ipady=6)


def write(text, tag="", begin=False):
    log["state"] = "normal"
    log.insert("end", "\n" if begin and log.get("1.0") != "\n" else "")
    log.insert("end", text, tag)
    log["state"] = "disabled"
    log.see("end")


def asked():
    calls = chat.last_message.pending if chat.messages else ()
    return [call for call in calls if call.approval]


def answer(approved):
    for call in asked():
        chat.add_tool_approval_response(call.approval.id, approved)


def show(chat):
    calls = asked()
    status["text"] = f"May I {calls[0].tool_name} {calls[0].input}?" if calls else chat.status
    for button, column, needed in ((allow, 1, calls), (deny, 2, calls), (retry, 2, chat.error)):
        button.grid(row=2, column=column, sticky="e") if needed else button.grid_remove()


def add(message):
    if message.role == "user":
        write(f" {message.text} ", "user", begin=True)


hosts.tk.bind_input(chat, entry, send)
chat.subscribe(show)
chat.on(MessageAdded, lambda e: add(chat.messages[e.message_index]))
chat.on(TextDelta, lambda e: write(e.text, begin=e.start == 0))
chat.on(ErrorChanged, lambda e: e.error and write(f"{e.error}", "error", begin=True))
show(chat)
entry.focus()
root.mainloop()
chat.close()
