rule summarise:
    input:
        stamps=PLAN.stamps,
        timings=PLAN.timings,
        code=PLAN.summary_code,
    output:
        PLAN.summaries,
    log:
        PLAN.logs / "summary.log",
    benchmark:
        PLAN.benchmarks / "summary.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=PLAN.layout.config,
    message:
        "Collect all runs of the experiment"
    shell:
        "python -m stprune summarise --config {params.config:q} > {log:q} 2>&1"


rule products:
    input:
        store=PLAN.summaries,
        code=PLAN.product_code,
    output:
        tables=directory(PLAN.layout.root / "tables"),
        figures=directory(PLAN.layout.root / "figures"),
        report=PLAN.layout.report,
    log:
        PLAN.logs / "products.log",
    benchmark:
        PLAN.benchmarks / "products.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        folder=PLAN.layout.root,
    message:
        "Make tables, figures and report of the experiment"
    shell:
        "python -m stprune products {params.folder:q} --jobs {threads} 2>&1 | tee {log:q} >&2"


# Of all kept experiments and data sets, in one process.
rule paper:
    input:
        PLAN.kept,
        PLAN.product_code,
        PLAN.data_code,
    output:
        PLAN.paper_reports,
        directory(PLAN.paper_products),
    log:
        PLAN.paper_folder / "products.log",
    benchmark:
        PLAN.paper_folder / "products.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        into=PLAN.paper_folder,
    message:
        "Make tables, figures and reports of what is kept"
    shell:
        "python -m stprune paper --into {params.into:q} --jobs {threads} 2>&1 | tee {log:q} >&2"
