// The service worker stands here because its place says what it may serve: the pages in demos/, and what they take from web/
// and models/, workers included. What it does is in demos/start/service.js; files.js is made by build.sh.
importScripts('demos/start/files.js', 'demos/start/service.js');
