"""Models that artists can choose and trust: which are recommended, which are here already, and how one is fetched.

Nothing is loaded here: what a file is, is read from the names and shapes in its header, and a pickle is never opened.
"""
