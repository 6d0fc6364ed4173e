"""The risk classes of a review, a module for each or for a few that belong together.

Each module has functions of one `Comparison` that yield the changes they find and note what these explain;
`operations` comes last and tells what nothing else explained, so that no difference is passed over.
"""
