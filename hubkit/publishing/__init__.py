"""Publishing: a plan of what would change, as data, and its application in one commit.

    with open_target(options, start_local_hub) as target:
        target.announce(options, say)         # the local Hub in place of the Hub is never silent
        repo_id = resolve_repo_id(options, target, "my-adapter")
        target.check(repo_id, options)        # would it be refused? Better to know before the work
        ...                                   # write the card: its snippet names the repo
        done = publish_to(target, directory, repo_id, options, say)

or, when the card is written already, `publish(directory, options, start_local_hub, say)`.
"""

from hubkit.publishing.apply import Published
from hubkit.publishing.options import PushOptions
from hubkit.publishing.planned import Plan, PlannedFile
from hubkit.publishing.push import publish, publish_to
from hubkit.publishing.revert import Reversal, Reverted, take_back
from hubkit.publishing.target import Target, open_target, resolve_repo_id

__all__ = [
    "Plan",
    "PlannedFile",
    "Published",
    "PushOptions",
    "Reversal",
    "Reverted",
    "Target",
    "open_target",
    "publish",
    "publish_to",
    "resolve_repo_id",
    "take_back",
]
