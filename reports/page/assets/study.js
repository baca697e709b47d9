// The analysis of a human study of these edits; it comes as HTML that icd-bench made.

const studies = [...document.querySelectorAll("template.study")];

if (studies.length) views.set("study", {
  title: "Study",
  draw(main) {
    main.append(element("h1", {}, "What people prefer"), ...studies.map((study) => study.content.cloneNode(true)));
  },
});
