"""Starts the real server and looks at everything it leaves behind: answers, log, metrics, audit chains, pages."""
