"""Posts a review as the one comment of its pull or merge request. Standard library only.

The document comes from a job that ran the pull request's code, so nothing in it is believed: its size and
form are checked, the comment is rendered here, and which pull request it belongs to is the forge's word.
"""
