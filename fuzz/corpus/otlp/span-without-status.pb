
$" 0J
http.request.method
GET