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
