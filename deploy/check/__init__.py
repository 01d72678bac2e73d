"""Whether a running installation is what it ought to be: `python -m deploy.check`.

`look` asks servers and processes, `judge` says what is wrong and what helps (pure), `__main__` tells it.
Nothing is changed, but for one message on a topic that nobody listens to.
"""
