def export(run_dir):
    pass


def write_index(reports):
    pass
