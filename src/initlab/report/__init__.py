"""Reports: many runs side by side.

comparison  what varies between runs, and which setting did best
table       the table of results, for the terminal and for the page
page        the report as a page, its pictures, results.csv and curves.npz
charts      its pictures
claims      what the sources of published experiments claim, and what runs show
findings    how a claim is answered
publish     the run that keeps the report of a sweep, and MLflow's chart page of it
"""
