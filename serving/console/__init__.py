"""The console: pages for people, made on this side and without scripts, in a process of its own."""
