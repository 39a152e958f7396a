rule summarise:
    input:
        stamps=PLAN.stamps,
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


# Of this experiment, and of each kept one.
rule products:
    input:
        store=PLAN.store,
        code=PLAN.product_code,
    output:
        tables=directory(PLAN.place("tables")),
        figures=directory(PLAN.place("figures")),
        report=PLAN.place("report.html"),
    log:
        PLAN.place("logs/products.log"),
    benchmark:
        PLAN.place("benchmarks/products.tsv")
    wildcard_constraints:
        place=PLAN.places,
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        source=PLAN.source,
        into=lambda wildcards, output: str(Path(output.report).parent),
    message:
        "Make tables, figures and report of {wildcards.place}"
    shell:
        "python -m stprune products {params.source:q} --into {params.into:q} --jobs {threads}"
        " 2>&1 | tee {log:q} >&2"


rule paper:
    input:
        PLAN.paper,


rule paper_of_data:
    input:
        descriptions=PLAN.descriptions,
        code=PLAN.data_code,
    output:
        tables=directory(PLAN.paper_data / "tables"),
        figures=directory(PLAN.paper_data / "figures"),
    log:
        PLAN.paper_data / "logs" / "products.log",
    benchmark:
        PLAN.paper_data / "benchmarks" / "products.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        into=PLAN.paper_data.parent,
    message:
        "Make the tables and figures of the data sets"
    shell:
        "python -m stprune paper data --into {params.into:q} 2>&1 | tee {log:q} >&2"
