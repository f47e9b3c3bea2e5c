"""Reports: many runs side by side.

comparison  what varies between runs, and which setting is best: by score, or by speed
statistics  paired tests, and differences: which settings are better than which
table       the table of results as data
terminal    the same, printed
page        the report as an HTML page, and export: the numbers as files, from their plain values
interactive the pictures of the page, with read-outs, switches and a slider
importance  how much of the variance of the score each key that varies explains
answers     the results in sentences, and conclusions: which differences are real
formatting  how values, numbers and lists are written for people
charts      the pictures
claims      the claims of published experiments, and findings: whether runs confirm them
publish     the run that keeps the report of a sweep, and MLflow's chart page of it
"""
