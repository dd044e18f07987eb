"""Pictures of selections: who won, why, and where each rollout hesitated.

``views`` says what is shown of a selection, ``wording`` says it in words, ``strips`` and ``drawing`` draw it,
``packing`` takes the tokens along, and ``page`` and ``notebook`` make the HTML. The evaluation's report is built on the
same look.
"""
