"""Which claims of the papers hold, of the networks that other studies have looked at?

python -m rrjax.study --config=configs/claims.py --workdir=runs/small

Networks of three seeds, each with its studies in a folder of its own:
--config.folders="('runs/seeds/0','runs/seeds/1','runs/seeds/2')"

Into a document, between its lines <!-- claims on digits --> and <!-- end of claims on digits -->:
--config.document=docs/results/claims.md --config.table="claims on digits"

Their verdicts alone, into one column of the README's scoreboard, which is between such lines, too:
--config.document=README.md --config.table=scoreboard --config.column=digits
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.study = "claims"
    config.folders = ()  # folders of studies, a seed each; (): the workdir alone
    config.eps = 2.0  # the robust network's radius of training; one of the radii of proximity
    config.document = ""  # a Markdown file that gets the table, too
    config.table = ""  # the name that its two lines around the table have
    config.column = ""  # of a scoreboard: the heading of the column that gets the verdicts alone
    return config.lock()
