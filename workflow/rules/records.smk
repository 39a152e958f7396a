rule paper:
    input:
        PAPER.products,


rule paper_of_experiment:
    input:
        records=PAPER.records,
        code=PAPER.code,
    output:
        tables=directory(PAPER.layout.root / "tables"),
        figures=directory(PAPER.layout.root / "figures"),
        report=PAPER.layout.report,
    log:
        PAPER.into / "logs" / "{experiment}.log",
    benchmark:
        PAPER.into / "benchmarks" / "{experiment}.tsv"
    # The next rule's.
    wildcard_constraints:
        experiment=r"(?!data/)[A-Za-z0-9_\-]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        records=PAPER.folder,
        into=PAPER.into,
    message:
        "Make the paper's tables, figures and report of {wildcards.experiment}"
    shell:
        "python -m stprune paper {wildcards.experiment:q} --records {params.records:q}"
        " --into {params.into:q} 2>&1 | tee {log:q}"


rule paper_of_data:
    input:
        descriptions=PAPER.descriptions,
        code=PAPER.data_code,
    output:
        tables=directory(PAPER.data.root / "tables"),
        figures=directory(PAPER.data.root / "figures"),
    log:
        PAPER.into / "logs" / "data.log",
    benchmark:
        PAPER.into / "benchmarks" / "data.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        records=PAPER.folder,
        into=PAPER.into,
    message:
        "Make the paper's tables and figures of the data sets"
    shell:
        "python -m stprune paper data --records {params.records:q} --into {params.into:q}"
        " 2>&1 | tee {log:q}"
