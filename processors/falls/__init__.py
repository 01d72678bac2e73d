"""Judge the impacts of wearables: measure the window, score it, say why."""
