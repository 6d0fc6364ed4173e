"""Starts the image build of a deploy and tells CloudFormation how it ended."""
