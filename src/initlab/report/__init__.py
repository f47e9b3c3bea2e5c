"""Reports: many runs side by side.

comparison  what varies between runs, and which setting is best
table       the table of results as data
terminal    the same, printed
page        the same as an HTML page with pictures, and export: results.csv and curves.npz
importance  how much of the variance of the score each key that varies explains
answers     the results in sentences
formatting  how values, numbers and lists are written for people
charts      the pictures
claims      the claims of published experiments, and findings: whether runs confirm them
publish     the run that keeps the report of a sweep, and MLflow's chart page of it
"""
