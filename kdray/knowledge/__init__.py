"""What teachers answered, recorded once for each view: Arrow files, written and read; no Ray.

``names`` says what records are called and needs no torch; ``outline`` what a method wants of a
teacher; ``record`` computes and writes it; ``reader`` gives it to a training step.
"""
